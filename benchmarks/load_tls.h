/* The same as load_plain.h over TLS. Every server has to do the same work: the version is 1.3, the cipher
 * is the one that each implementation has (RFC 8446, section 9.1), and no session is resumed. */

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#define CIPHER "TLS_AES_128_GCM_SHA256"

struct channel {
    int fd;
    SSL *tls;
};

static SSL_CTX *makeContext(void) {
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());
    if (made == NULL || !SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(made, CIPHER))
        fail("TLS: %s", ERR_reason_error_string(ERR_get_error()));
    SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One recv for what has come, where OpenSSL would take two for each record. */
    SSL_CTX_set_read_ahead(made, 1);
    /* OpenSSL's own write(2) raises it. */
    signal(SIGPIPE, SIG_IGN);
    return made;
}

/* Returns what recv(2) and send(2) would. */
static ssize_t result(struct channel *channel, int succeeded, size_t size) {
    int error = succeeded ? SSL_ERROR_NONE : SSL_get_error(channel->tls, succeeded);
    if (error == SSL_ERROR_NONE)
        return size;
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == SSL_ERROR_SSL)
        fail("TLS: %s", ERR_reason_error_string(ERR_get_error()));
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    return -1;
}

/* Does the handshake, and waits for it. */
static void channelOpen(struct channel *channel) {
    static SSL_CTX *context;
    struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT / 1000};
    if (context == NULL)
        context = makeContext();
    channel->tls = SSL_new(context);
    SSL_set_fd(channel->tls, channel->fd);
    setsockopt(channel->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (result(channel, SSL_connect(channel->tls) == 1, 1) < 0)
        fail("TLS handshake: %s", strerror(errno));
    fcntl(channel->fd, F_SETFL, O_NONBLOCK);
}

static ssize_t channelReceive(struct channel *channel, void *data, size_t size) {
    size_t received = 0;
    errno = 0;
    ERR_clear_error();
    int succeeded = SSL_read_ex(channel->tls, data, size, &received);
    return result(channel, succeeded, received);
}

static ssize_t channelSend(struct channel *channel, const void *data, size_t size) {
    size_t sent = 0;
    errno = 0;
    ERR_clear_error();
    int succeeded = SSL_write_ex(channel->tls, data, size, &sent);
    return result(channel, succeeded, sent);
}

static void channelEnd(struct channel *channel) {
    SSL_shutdown(channel->tls);
}

static bool channelHolds(struct channel *channel) {
    return SSL_has_pending(channel->tls);
}

static void channelClose(struct channel *channel) {
    SSL_free(channel->tls);
    close(channel->fd);
}

/* The socket calls of load.c without TLS. */

struct channel {
    int fd;
};

static void channelOpen(struct channel *channel) {
    (void)channel;
}

static ssize_t channelReceive(struct channel *channel, void *data, size_t size) {
    return recv(channel->fd, data, size, MSG_DONTWAIT);
}

static ssize_t channelSend(struct channel *channel, const void *data, size_t size) {
    return send(channel->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Sends the end of the stream. */
static void channelEnd(struct channel *channel) {
    shutdown(channel->fd, SHUT_WR);
}

/* Tells whether received bytes wait to be read. */
static bool channelHolds(struct channel *channel) {
    (void)channel;
    return false;
}

static void channelClose(struct channel *channel) {
    close(channel->fd);
}

/* One connection of load.c: what it sends, and the check of what it receives.
 *
 * Connection number C sends the bytes of one fixed pattern, from a place of its own on. The bytes due, sent
 * and received are positions in that stream, so that a byte that is lost, added, changed or repeated puts
 * the rest out of step. */

/* The pattern repeats after a prime number of bytes, which no message size divides. */
#define PERIOD 65521
/* Milliseconds in which a surplus datagram would have come. */
#define SURPLUS 20
/* Loopback addresses from 127.0.0.1 on that connections come from in turn, since an address has 28,000 ports
 * and an ended connection keeps its port for a minute: of connections that last, and of those that do not. */
#define LASTING_SOURCES 4
#define BRIEF_SOURCES 64

struct connection {
    struct channel channel;
    uint64_t start, due, sent, received, base;
};

static const char *mode;
static struct sockaddr_in server;
static size_t size;
static bool datagrams, lasting;
static int poller;
static unsigned char *pattern, *buffer;

static const unsigned char *expected(const struct connection *c, uint64_t position) {
    return pattern + (c->start + position) % PERIOD;
}

static void check(struct connection *c, size_t n) {
    const unsigned char *right = expected(c, c->received);
    if (n > c->sent - c->received)
        fail("%zu bytes too many came after byte %llu", n - (size_t)(c->sent - c->received),
             (unsigned long long)c->sent);
    if (datagrams && n != size)
        fail("a datagram of %zu bytes came for one of %zu", n, size);
    if (memcmp(buffer, right, n) == 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (buffer[i] != right[i])
            fail("byte %llu is %d and should be %d", (unsigned long long)(c->received + i), buffer[i],
                 right[i]);
}

/* Receives and checks what is there. Returns the bytes, 0 at the end of the stream, -1 for nothing yet. */
static int64_t pull(struct connection *c) {
    int64_t total = 0;
    for (;;) {
        /* One byte more than an answer has, so that a surplus one is seen at once. */
        ssize_t n = channelReceive(&c->channel, buffer, size + 1);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return total ? total : -1;
        if (n < 0)
            fail("after byte %llu: %s", (unsigned long long)c->received, strerror(errno));
        if (n == 0 && c->received < c->sent)
            fail("the end came after byte %llu of %llu", (unsigned long long)c->received,
                 (unsigned long long)c->sent);
        if (n == 0 && !datagrams)
            return 0;
        check(c, n);
        c->received += n;
        total += n;
        /* Only then can't there be an end of stream, of which no other event would tell. */
        if (c->received == c->sent)
            return total;
    }
}

/* Sends what is due, as far as the kernel takes it. */
static void push(struct connection *c) {
    while (c->sent < c->due) {
        uint64_t rest = c->due - c->sent;
        ssize_t n = channelSend(&c->channel, expected(c, c->sent), rest < size ? rest : size);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0)
            fail("after byte %llu: %s", (unsigned long long)c->sent, strerror(errno));
        c->sent += n;
    }
}

static void ask(struct connection *c) {
    c->due += size;
    push(c);
}

static void makePattern(void) {
    uint32_t state = 1;
    pattern = malloc(PERIOD + size + 1);
    buffer = malloc(size + 1);
    for (size_t i = 0; i < PERIOD + size + 1; i++) {
        state = state * 1664525 + 1013904223; /* Numerical Recipes' generator */
        pattern[i] = i < PERIOD ? state >> 24 : pattern[i - PERIOD];
    }
}

static void open_(struct connection *c) {
    static uint64_t opened;
    int one = 1;
    int fd = socket(AF_INET, datagrams ? SOCK_DGRAM : SOCK_STREAM, 0);
    *c = (struct connection){.channel = {.fd = fd}};
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    c->start = opened++ * 7919 % PERIOD;
    if (!datagrams) {
        struct sockaddr_in source = {.sin_family = AF_INET};
        source.sin_addr.s_addr = htonl(0x7f000001 + opened % (lasting ? LASTING_SOURCES : BRIEF_SOURCES));
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0)
            fail("bind: %s", strerror(errno));
    }
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
        fail("connect: %s", strerror(errno));
    if (!datagrams)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    channelOpen(&c->channel);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

/* Ends a connection; nothing may come but the end of the stream. */
static void finish(struct connection *c) {
    struct pollfd watched = {.fd = c->channel.fd, .events = POLLIN};
    if (!datagrams)
        channelEnd(&c->channel);
    bool came = channelHolds(&c->channel) || poll(&watched, 1, datagrams ? SURPLUS : ANSWER_TIMEOUT) > 0;
    if (!came && !datagrams)
        fail("the end of a stream is lost: nothing came for %d s", ANSWER_TIMEOUT / 1000);
    if (came)
        pull(c);
    channelClose(&c->channel);
}

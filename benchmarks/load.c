/* A load for echo servers that checks every byte that comes back.
 *
 *   load MODE HOST PORT SIZE CONNECTIONS EACH WARMUP SECONDS RATE
 *
 *   stream     each EACH-th connection sends SIZE bytes, awaits them, and sends the next
 *   datagram   the same over UDP
 *   rate       RATE messages a second in all, due at fixed times whatever the server does
 *   accept     connect, one byte, its echo, end of stream, and the next connection
 *   idle       open CONNECTIONS, one echo each, and leave them; ECHOES is without the first tenth, which
 *              comes before "ready", so that what the server does once is not counted
 *
 * It opens its connections, runs for WARMUP seconds, prints "ready" and awaits a line; runs for SECONDS,
 * prints "done ECHOES SECONDS P50 P99" and awaits a line; ends its connections, and prints "checked".
 * So the caller can look at the server between the phases. A wrong byte ends the load with one line on
 * standard error and status 1. Compiled with -DTLS, all of its streams are TLS.
 *
 * Connection number C sends the bytes of one fixed pattern, from a place of its own on. The bytes due, sent
 * and received are positions in that stream, so that a byte that is lost, added, changed or repeated puts
 * the rest out of step. Sockets are edge-triggered: one recv and one send an echo. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The pattern repeats after a prime number of bytes, which no message size divides. */
#define PERIOD 65521
/* Milliseconds without any byte after which an answer is lost: a server on a busy machine is faster. */
#define ANSWER_TIMEOUT 5000
/* Milliseconds in which a surplus datagram would have come. */
#define SURPLUS 20
#define EVENTS 1024
#define BILLION 1000000000ull
/* Loopback addresses from 127.0.0.1 on that connections come from in turn, since an address has 28,000 ports
 * and an ended connection keeps its port for a minute: of connections that last, and of those that do not. */
#define LASTING_SOURCES 4
#define BRIEF_SOURCES 64

static void fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(1);
}

#ifdef TLS
#include "load_tls.h"
#else
#include "load_plain.h"
#endif

struct connection {
    struct channel channel;
    uint64_t start, due, sent, received, base;
};

static const char *mode;
static struct sockaddr_in server;
static size_t size;
static uint64_t count, each, rate;
static double warmup, seconds;
static bool datagrams, lasting;
static int poller;
static struct epoll_event events[EVENTS];
static struct connection *connections;
static unsigned char *pattern, *buffer;
static uint32_t *latencies;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * BILLION + time.tv_nsec;
}

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

static int await(void) {
    int n = epoll_wait(poller, events, EVENTS, ANSWER_TIMEOUT);
    if (n == 0)
        fail("an answer is lost: nothing came for %d s", ANSWER_TIMEOUT / 1000);
    return n;
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

/* Opens the connections from one number to another, each with one echo. */
static void openAll(uint64_t from, uint64_t to) {
    for (struct connection *c = connections + from; c < connections + to; c++) {
        open_(c);
        ask(c);
        while (c->received < c->due) {
            await();
            pull(c);
            push(c);
        }
    }
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

/* Checks that the server neither sends anything to idle connections nor ends one. */
static void checkIdle(void) {
    int n;
    while ((n = epoll_wait(poller, events, EVENTS, 0)) > 0)
        for (int i = 0; i < n; i++)
            if (events[i].events & ~EPOLLOUT)
                fail("an idle connection did not stay as it was");
}

static uint64_t closedLoop(double duration) {
    uint64_t echoes = 0, busy = 0, end = now() + duration * BILLION;
    for (uint64_t i = 0; i < count; i += each, busy++)
        ask(connections + i);
    while (busy > 0) {
        int n = await();
        bool more = now() < end;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            int64_t pulled = pull(c);
            if (pulled == 0)
                fail("the end came after byte %llu", (unsigned long long)c->received);
            if (pulled < 0 || c->received < c->due) {
                push(c);
                continue;
            }
            echoes++;
            if (more)
                ask(c);
            else
                busy--;
        }
    }
    return echoes;
}

/* Message K is due at K / rate seconds, on connection K modulo the count: its latency is from there. */
static uint64_t fixedRate(double duration) {
    uint64_t total = rate * duration, asked = 0, answered = 0, start = now(), moved = start;
    double interval = (double)BILLION / rate;
    for (uint64_t i = 0; i < count; i++)
        connections[i].base = connections[i].received / size;
    while (answered < total) {
        uint64_t time = now();
        for (; asked < total && start + asked * interval <= time; asked++)
            ask(connections + asked % count);
        int n = epoll_wait(poller, events, EVENTS, 0);
        if (n > 0)
            moved = time;
        else if (time - moved > ANSWER_TIMEOUT * (BILLION / 1000))
            fail("an answer is lost: nothing came for %d s", ANSWER_TIMEOUT / 1000);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            uint64_t message = c->received / size;
            if (pull(c) == 0)
                fail("the end came after byte %llu", (unsigned long long)c->received);
            for (time = now(); message < c->received / size; message++) {
                uint64_t number = (message - c->base) * count + (c - connections);
                latencies[answered++] = time - (start + number * interval);
            }
            push(c);
        }
    }
    return answered;
}

static uint64_t acceptLoop(double duration) {
    uint64_t echoes = 0, busy = count, end = now() + duration * BILLION;
    for (uint64_t i = 0; i < count; i++) {
        open_(connections + i);
        ask(connections + i);
    }
    while (busy > 0) {
        int n = await();
        bool more = now() < end;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            int64_t pulled = pull(c);
            if (pulled > 0)
                channelEnd(&c->channel);
            if (pulled != 0)
                continue;
            channelClose(&c->channel);
            echoes++;
            if (more) {
                open_(c);
                ask(c);
            } else {
                busy--;
            }
        }
    }
    return echoes;
}

static int byValue(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(uint64_t echoes, int percent) {
    return echoes && rate ? latencies[(echoes - 1) * percent / 100] / (double)BILLION : 0;
}

static void awaitLine(void) {
    char line[16];
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(1);
}

static uint64_t run(double duration) {
    if (strcmp(mode, "rate") == 0)
        return fixedRate(duration);
    return strcmp(mode, "accept") == 0 ? acceptLoop(duration) : closedLoop(duration);
}

int main(int argc, char **argv) {
    if (argc != 10)
        fail("usage: load MODE HOST PORT SIZE CONNECTIONS EACH WARMUP SECONDS RATE");
    mode = argv[1];
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    inet_pton(AF_INET, argv[2], &server.sin_addr);
    size = atoll(argv[4]);
    count = atoll(argv[5]);
    each = atoll(argv[6]);
    warmup = atof(argv[7]);
    seconds = atof(argv[8]);
    rate = atoll(argv[9]);
    datagrams = strcmp(mode, "datagram") == 0;
    lasting = strcmp(mode, "accept") != 0;
    bool idle = strcmp(mode, "idle") == 0;
    uint64_t first = idle ? count / 10 : count, echoes = count - first;
    poller = epoll_create1(0);
    connections = calloc(count, sizeof *connections);
    latencies = calloc(rate * (seconds > warmup ? seconds : warmup) + 1, sizeof *latencies);
    makePattern();
    if (lasting)
        openAll(0, first);
    if (!idle)
        run(warmup);
    puts("ready");
    awaitLine();
    uint64_t start = now();
    if (idle)
        openAll(first, count);
    else
        echoes = run(seconds);
    double elapsed = (double)(now() - start) / BILLION;
    if (rate)
        qsort(latencies, echoes, sizeof *latencies, byValue);
    printf("done %llu %.9f %.9f %.9f\n", (unsigned long long)echoes, elapsed, percentile(echoes, 50),
           percentile(echoes, 99));
    awaitLine();
    if (idle)
        checkIdle();
    for (uint64_t i = 0; lasting && i < count; i++)
        finish(connections + i);
    puts("checked");
    return 0;
}

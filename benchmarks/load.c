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
 * Sockets are edge-triggered: one recv and one send an echo. load_connection.h has what is sent, and the
 * check of what comes back. */

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

/* Milliseconds without any byte after which an answer is lost: a server on a busy machine is faster. */
#define ANSWER_TIMEOUT 5000
#define EVENTS 1024
#define BILLION 1000000000ull

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
#include "load_connection.h"

static uint64_t count, each, rate;
static double warmup, seconds;
static struct epoll_event events[EVENTS];
static struct connection *connections;
static uint32_t *latencies;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * BILLION + time.tv_nsec;
}

static int await(void) {
    int n = epoll_wait(poller, events, EVENTS, ANSWER_TIMEOUT);
    if (n == 0)
        fail("an answer is lost: nothing came for %d s", ANSWER_TIMEOUT / 1000);
    return n;
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

/* The lower bound: an echo in C on epoll, with only the system calls that an echo needs.
 *
 *   echo_c --port|--udp 0 --ready-file FILE
 *
 * The server stops reading from a peer that does not read, until the rest is sent. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER 65536
#define EVENTS 1024

struct connection {
    int fd;
    size_t waiting; /* bytes of `rest` that are not sent */
    char *rest;
};

static int poller;
static char buffer[BUFFER];

static void watch(struct connection *c, int operation, uint32_t what) {
    struct epoll_event event = {.events = what, .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &event);
}

static void close_(struct connection *c) {
    close(c->fd);
    free(c->rest);
    free(c);
}

/* Sends; keeps what the kernel does not take. Returns -1 when the connection is gone. */
static int send_(struct connection *c, const char *data, size_t size) {
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        return -1;
    size_t sent = n < 0 ? 0 : n, rest = size - sent;
    if (rest && c->rest == NULL)
        c->rest = malloc(BUFFER);
    if (rest)
        memmove(c->rest, data + sent, rest);
    if (!rest != !c->waiting)
        watch(c, EPOLL_CTL_MOD, rest ? EPOLLOUT : EPOLLIN);
    c->waiting = rest;
    return 0;
}

static void serve(struct connection *c) {
    if (c->waiting) {
        if (send_(c, c->rest, c->waiting) < 0)
            close_(c);
        return;
    }
    ssize_t n = recv(c->fd, buffer, BUFFER, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || send_(c, buffer, n) < 0)
        close_(c);
}

static void accept_(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void streams(int listener) {
    struct epoll_event events[EVENTS];
    struct connection listening = {.fd = listener};
    poller = epoll_create1(EPOLL_CLOEXEC);
    watch(&listening, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &listening)
                accept_(listener);
            else
                serve(events[i].data.ptr);
        }
    }
}

static void datagrams(int fd) {
    for (;;) {
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        ssize_t n = recvfrom(fd, buffer, BUFFER, 0, (struct sockaddr *)&peer, &length);
        if (n >= 0)
            sendto(fd, buffer, n, 0, (struct sockaddr *)&peer, length);
    }
}

static void tellReady(int fd, const char *kind, const char *file) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    char partial[4096];
    getsockname(fd, (struct sockaddr *)&address, &length);
    snprintf(partial, sizeof partial, "%s.part", file);
    FILE *out = fopen(partial, "w");
    if (out == NULL) {
        perror(partial);
        exit(1);
    }
    fprintf(out, "%s 127.0.0.1:%d\n", kind, ntohs(address.sin_port));
    fclose(out);
    rename(partial, file);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fputs("usage: echo_c --port|--udp 0 --ready-file FILE\n", stderr);
        return 2;
    }
    int udp = strcmp(argv[1], "--udp") == 0, one = 1;
    int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM | SOCK_NONBLOCK) | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("bind");
        return 1;
    }
    if (!udp) {
        /* Connections inherit it. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        listen(fd, 1024);
    }
    tellReady(fd, udp ? "udp" : "tcp", argv[4]);
    if (udp)
        datagrams(fd);
    streams(fd);
}

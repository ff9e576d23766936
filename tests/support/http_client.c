#include "tests/support/http_client.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longer than any answer takes, sanitizers and a busy machine included. */
#define PATIENCE_MS 30000

static void give_up(const char *what)
{
    perror(what);
    abort();
}

void http_client_open(struct http_client *c, const char *address)
{
    const char *colon = strrchr(address, ':');
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert(colon != NULL);
    to.sin_port = htons((in_port_t)strtoul(colon + 1, NULL, 10));
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        give_up("connect");
    }
    int on = 1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->data = calloc(1, HTTP_CLIENT_MAX + 1);
    c->len = 0;
    if (c->data == NULL) {
        give_up("calloc");
    }
}

void http_client_close(struct http_client *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    free(c->data);
    *c = (struct http_client){ .fd = -1 };
}

bool http_client_send_bytes(struct http_client *c, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

bool http_client_send(struct http_client *c, const char *text)
{
    return http_client_send_bytes(c, text, strlen(text));
}

/* More bytes, or false at the end of the connection. */
static bool receive(struct http_client *c)
{
    struct pollfd p = { .fd = c->fd, .events = POLLIN };
    if (poll(&p, 1, PATIENCE_MS) <= 0) {
        give_up("no answer");
    }
    assert(c->len < HTTP_CLIENT_MAX);
    ssize_t n = recv(c->fd, c->data + c->len, HTTP_CLIENT_MAX - c->len, 0);
    if (n <= 0) {
        return false;
    }
    c->len += (size_t)n;
    c->data[c->len] = '\0';
    return true;
}

bool http_client_await(struct http_client *c, size_t len)
{
    while (c->len <= len) {
        if (!receive(c)) {
            return false;
        }
    }
    return true;
}

bool http_client_ended(struct http_client *c)
{
    c->len = 0;
    while (receive(c)) {
        c->len = 0;
    }
    return true;
}

const char *http_reply_field(const struct http_reply *r, const char *name)
{
    static char value[1024];
    size_t len = strlen(name);
    for (const char *line = r->head; line != NULL; line = strstr(line, "\r\n")) {
        line += strncmp(line, "\r\n", 2) == 0 ? 2 : 0;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *at = line + len + 1;
            at += strspn(at, " ");
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r\n"), at);
            return value;
        }
    }
    return NULL;
}

/* Puts chunks together in place; false when the connection ended before the last one. `from` is the
 * offset of the body; *taken the bytes of the whole answer. */
static bool read_chunks(struct http_client *c, size_t from, size_t *body_len, size_t *taken)
{
    size_t at = from;
    size_t to = from;
    for (;;) {
        char *end;
        while ((end = strstr(c->data + at, "\r\n")) == NULL) {
            if (!receive(c)) {
                return false;
            }
        }
        size_t size = strtoul(c->data + at, NULL, 16);
        at = (size_t)(end - c->data) + 2;
        if (!http_client_await(c, at + size + 1)) {
            return false;
        }
        memmove(c->data + to, c->data + at, size);
        to += size;
        at += size + 2;
        if (size == 0) {
            *body_len = to - from;
            *taken = at;
            return true;
        }
    }
}

/* The answer before this one is dropped when the next is read. */
struct http_reply http_client_read(struct http_client *c, bool head)
{
    struct http_reply r = { 0 };
    char *end;
    while ((end = strstr(c->data, "\r\n\r\n")) == NULL) {
        if (!receive(c)) {
            return r;
        }
    }
    size_t head_len = (size_t)(end - c->data);
    char *copy = strndup(c->data, head_len);
    struct http_reply seen = { .head = copy };
    int status = (int)strtoul(c->data + strlen("HTTP/1.1 "), NULL, 10);
    size_t body_len = 0;
    size_t taken = head_len + 4;
    bool whole = true;
    const char *value = http_reply_field(&seen, "Transfer-Encoding");
    if (head || status == 204 || status == 100) {
        /* no body follows */
    } else if (value != NULL) {
        whole = read_chunks(c, taken, &body_len, &taken);
    } else if ((value = http_reply_field(&seen, "Content-Length")) != NULL) {
        body_len = strtoul(value, NULL, 10);
        whole = body_len == 0 || http_client_await(c, taken + body_len - 1);
        taken += body_len;
    }
    /* Head and body move into a block of their own, the rest to the front. */
    static char *last;
    free(last);
    last = calloc(1, head_len + body_len + 2);
    if (last == NULL || copy == NULL) {
        give_up("calloc");
    }
    if (whole) {
        memcpy(last, copy, head_len);
        memcpy(last + head_len + 1, c->data + head_len + 4, body_len);
        memmove(c->data, c->data + taken, c->len - taken + 1);
        c->len -= taken;
        r = (struct http_reply){
            .status = status, .head = last, .body = last + head_len + 1, .body_len = body_len
        };
    }
    free(copy);
    return r;
}

struct http_reply http_client_ask(struct http_client *c, const char *text)
{
    return http_client_send(c, text) ? http_client_read(c, false) : (struct http_reply){ 0 };
}

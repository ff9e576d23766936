/* A client for tests of the HTTP server: sends exactly the bytes it is given, and reads answers
 * without being clever. Everything blocks with a deadline. */
#ifndef SHOAL_TESTS_SUPPORT_HTTP_CLIENT_H
#define SHOAL_TESTS_SUPPORT_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

/* Room for one answer. */
#define HTTP_CLIENT_MAX (4u << 20)

struct http_client {
    int fd;
    char *data; /* what was received and not yet taken; terminated */
    size_t len;
};

struct http_reply {
    int status; /* 0: the connection ended before a whole answer came */
    char *head; /* into the client's buffer, valid until the next read */
    char *body;
    size_t body_len;
};

/* "127.0.0.1:4711". Aborts the test when it cannot connect. */
void http_client_open(struct http_client *c, const char *address);
void http_client_close(struct http_client *c);
/* False when the server does not take the bytes. */
bool http_client_send(struct http_client *c, const char *text);
bool http_client_send_bytes(struct http_client *c, const void *data, size_t len);
/* One answer: by Content-Length, by chunks (then the body is put together), or to the end. `head`
 * for an answer to HEAD, which has no body. */
struct http_reply http_client_read(struct http_client *c, bool head);
/* Sends and reads. */
struct http_reply http_client_ask(struct http_client *c, const char *text);
/* The value of a field of the answer, or NULL; in a buffer of its own that the next call reuses. */
const char *http_reply_field(const struct http_reply *r, const char *name);
/* True when the server has closed the connection: waits for the end of file. */
bool http_client_ended(struct http_client *c);
/* Waits until more bytes are there than `len`. False when the connection ended. */
bool http_client_await(struct http_client *c, size_t len);

#endif

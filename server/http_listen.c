/* The listening socket is made here and not by libmicrohttpd, which cannot say what was wrong. */
#include "server/http_conn.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define HOST_MAX 256

/* "HOST:PORT", "[HOST]:PORT". */
static enum shoal_err split(const char *address, char *host, const char **port, struct errbuf *why)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - address);
    if (colon == NULL || colon[1] == '\0' || len == 0 || len >= HOST_MAX) {
        return err_set(why, SHOAL_EINVAL,
                       "\"%s\" is no address; give HOST:PORT, as in 127.0.0.1:6333", address);
    }
    if (address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    memcpy(host, address, len);
    host[len] = '\0';
    *port = colon + 1;
    return SHOAL_OK;
}

static enum shoal_err resolve(const char *address, struct addrinfo **out, struct errbuf *why)
{
    char host[HOST_MAX];
    const char *port = NULL;
    enum shoal_err rc = split(address, host, &port, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    int failed = getaddrinfo(host, port, &hints, out);
    if (failed != 0) {
        return err_set(why, SHOAL_EINVAL, "%s: %s", address, gai_strerror(failed));
    }
    return SHOAL_OK;
}

static enum shoal_err open_one(const struct addrinfo *at, const char *address, int *fd_out,
                               struct errbuf *why)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_errno(why, errno, "%s", address);
    }
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        if (error == EADDRINUSE) {
            return err_set(why, SHOAL_EBUSY,
                           "%s is in use by another process; stop it, or choose another port",
                           address);
        }
        if (error == EACCES) {
            return err_set(why, SHOAL_EDENIED, "%s: this user may not listen there", address);
        }
        return err_errno(why, error, "%s", address);
    }
    *fd_out = fd;
    return SHOAL_OK;
}

static enum shoal_err print_name(int fd, char *out, size_t out_len, struct errbuf *why)
{
    struct sockaddr_storage name = { 0 };
    socklen_t len = sizeof(name);
    char host[INET6_ADDRSTRLEN];
    char port[8];
    if (getsockname(fd, (struct sockaddr *)&name, &len) != 0) {
        return err_errno(why, errno, "listening socket");
    }
    int failed = getnameinfo((struct sockaddr *)&name, len, host, sizeof(host), port, sizeof(port),
                             NI_NUMERICHOST | NI_NUMERICSERV);
    if (failed != 0) {
        return err_set(why, SHOAL_EIO, "listening socket: %s", gai_strerror(failed));
    }
    snprintf(out, out_len, name.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return SHOAL_OK;
}

enum shoal_err http__listen(const char *address, int *fd_out, char *printed, size_t printed_len,
                            struct errbuf *why)
{
    *fd_out = -1;
    struct addrinfo *all = NULL;
    enum shoal_err rc = resolve(address, &all, why);
    if (rc != SHOAL_OK) {
        return rc;
    }
    int fd = -1;
    rc = SHOAL_EINVAL;
    for (const struct addrinfo *at = all; at != NULL && fd < 0; at = at->ai_next) {
        rc = open_one(at, address, &fd, why);
    }
    freeaddrinfo(all);
    if (rc == SHOAL_OK) {
        rc = print_name(fd, printed, printed_len, why);
    }
    if (rc != SHOAL_OK) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return rc;
    }
    *fd_out = fd;
    return SHOAL_OK;
}

/* The answer of the library without an engine to file:///dir. */
#include "client/backend.h"

enum shoal_err backend_embedded_open(const char *dir, struct backend **out, struct errbuf *why)
{
    (void)dir;
    *out = NULL;
    return err_set(why, SHOAL_EUNSUPPORTED,
                   "file:///DIR needs the engine: link with libshoal-embedded instead of libshoal");
}

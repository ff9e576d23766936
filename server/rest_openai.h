/* What the routes of OpenAI's API share. Private to rest*.c. */
#ifndef SHOAL_SERVER_REST_OPENAI_H
#define SHOAL_SERVER_REST_OPENAI_H

#include "server/generators.h"
#include "server/rest_call.h"

/* The model a request names; none, or "default", is the first of its kind. SHOAL_ENOTFOUND: others
 * of its kind run, but not that one; SHOAL_EUNAVAILABLE: none of its kind runs. */
SHOAL_MUST_CHECK enum shoal_err openai_find_model(struct rest_call *call, bool generates,
                                                  struct slice name, struct generator_model *out);
/* Seconds since 1970. */
uint64_t openai_created(const struct rest_call *call);

#endif

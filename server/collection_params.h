/* Collection parameters: the HTTP API's body of a create request, checked and turned into what the
 * catalog keeps. Settings that promise something which is not built are refused by name; tuning
 * hints that have no counterpart here (wal_config, optimizers_config) are accepted and echoed.
 *
 * Shoal's own settings stand under the key "shoal": {"index": "hnsw" | "ivf_flat" | "flat",
 * "nlist", "nprobe", "ef", "seal_rows"}.
 *
 * Threads: none of its own. */
#ifndef SHOAL_SERVER_COLLECTION_PARAMS_H
#define SHOAL_SERVER_COLLECTION_PARAMS_H

#include "base/json.h"
#include "server/catalog.h"

/* Fills all of *out but name and params. SHOAL_EINVAL (unknown key, wrong type), SHOAL_EVALIDATION
 * (out of range), SHOAL_EUNSUPPORTED; the text names the key. */
SHOAL_MUST_CHECK enum shoal_err collection_params_parse(struct json_value body,
                                                        struct catalog_create *out,
                                                        struct errbuf *why);

#endif

/* A shard's info as JSON, between a node that prints it and a channel that reads it. */
#ifndef SHOAL_QUERY_INFO_JSON_H
#define SHOAL_QUERY_INFO_JSON_H

#include "base/buf.h"
#include "shard/shard.h"

enum shoal_err shard_info_print(const struct shard_info *info, struct buf *out);
/* SHOAL_EPROTO. */
enum shoal_err shard_info_parse(struct slice json, struct shard_info *out, struct errbuf *why);

#endif

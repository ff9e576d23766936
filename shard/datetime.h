/* Datetime: the texts that filters compare as moments.
 *
 * Accepted: RFC 3339 ("2024-01-02T03:04:05.678Z", "+02:00" and "-0230" as zones), the same with a
 * space for the T or without seconds, and a bare date (midnight). Without a zone: UTC. The
 * calendar is the proleptic Gregorian one, years 0000..9999; a leap second counts as the next one.
 *
 * Threads: no state. */
#ifndef SHOAL_SHARD_DATETIME_H
#define SHOAL_SHARD_DATETIME_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Microseconds since 1970-01-01T00:00:00Z; digits beyond are cut. False when it is no such text. */
bool datetime_parse(struct slice text, int64_t *us_out);

#endif

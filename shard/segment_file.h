/* What the writing and the reading of segment files share. Private to segment_*.c. */
#ifndef SHOAL_SHARD_SEGMENT_FILE_H
#define SHOAL_SHARD_SEGMENT_FILE_H

#include "shard/segment.h"

/* The one table of the file, and the key of the manifest in it; parts go by their names. */
#define SEGMENT_TABLE "parts"
#define SEGMENT_MANIFEST_KEY "manifest"
/* Parts are padded with zeros to this length at least: a value that fills more than half a page
 * begins at a multiple of 16, smaller ones only at even addresses. */
#define SEGMENT_PART_BYTES_MIN 4096u

/* "vectors", "ids", ...; keys in the file: never rename. */
const char *segment__part_name(enum segment_part part);

#endif

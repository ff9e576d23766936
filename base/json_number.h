/* Shortest text that reads back as the same number. Private to the JSON writer.
 * Threads: any. */
#ifndef SHOAL_BASE_JSON_NUMBER_H
#define SHOAL_BASE_JSON_NUMBER_H

#include <stddef.h>

#define JSON_NUMBER_MAX 32

#ifdef __cplusplus
extern "C" {
#endif

/* Finite values only. Writes no terminator and returns the length. */
size_t json_number_f64(double v, char out[JSON_NUMBER_MAX]);
size_t json_number_f32(float v, char out[JSON_NUMBER_MAX]);

#ifdef __cplusplus
}
#endif

#endif

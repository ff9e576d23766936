// Shortest text of a float or double, by the C++ library's std::to_chars.
#include "base/json_number.h"

#include <charconv>

extern "C" size_t json_number_f64(double v, char out[JSON_NUMBER_MAX])
{
    return static_cast<size_t>(std::to_chars(out, out + JSON_NUMBER_MAX, v).ptr - out);
}

extern "C" size_t json_number_f32(float v, char out[JSON_NUMBER_MAX])
{
    return static_cast<size_t>(std::to_chars(out, out + JSON_NUMBER_MAX, v).ptr - out);
}

// The reading half of json.h over simdjson's DOM. A value handle holds the two words of a
// simdjson element, an iterator those of a simdjson iterator: all are plain data that refer into
// the document's tape, so they are copied as bytes.
// In C a function may have its struct's name; C++ calls that hiding a constructor.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#include "base/json.h"
#include "base/mem.h"
}
#pragma GCC diagnostic pop

#include <cstring>
#include <new>
#include <simdjson.h>
#include <type_traits>

using simdjson::dom::element;
using simdjson::dom::element_type;

struct json_doc {
    simdjson::dom::parser parser;
    element root;
};

namespace
{

static_assert(sizeof(element) <= sizeof(json_value::handle), "an element fits a handle");
static_assert(std::is_trivially_copyable<element>::value, "an element is plain data");

enum class walk : uint64_t { none, array, object };

// What json_iter.state holds.
struct cursor {
    walk kind;
    uint64_t words[4]; // begin and end of a simdjson iterator, two words each
};
static_assert(sizeof(cursor) <= sizeof(json_iter::state), "a cursor fits an iterator");

template <typename T>
void put(uint64_t *words, const T &v)
{
    static_assert(sizeof(T) <= 2 * sizeof(uint64_t) && std::is_trivially_copyable<T>::value,
                  "an iterator is two words of plain data");
    std::memcpy(words, &v, sizeof(v));
}

template <typename T>
T get(const uint64_t *words)
{
    alignas(T) unsigned char bytes[sizeof(T)];
    std::memcpy(bytes, words, sizeof(T));
    return *reinterpret_cast<const T *>(bytes);
}

element to_element(json_value v)
{
    return get<element>(v.handle);
}

json_value to_value(element e)
{
    json_value v = { { 0, 0 } };
    put(v.handle, e);
    return v;
}

enum json_kind kind_of(element_type t)
{
    switch (t) {
    case element_type::ARRAY: return JSON_ARRAY;
    case element_type::OBJECT: return JSON_OBJECT;
    case element_type::INT64: return JSON_I64;
    case element_type::UINT64: return JSON_U64;
    case element_type::DOUBLE: return JSON_F64;
    case element_type::STRING: return JSON_STRING;
    case element_type::BOOL: return JSON_BOOL;
    case element_type::NULL_VALUE: break;
    }
    return JSON_NULL;
}

std::string_view view(slice s)
{
    return std::string_view(s.data == nullptr ? "" : s.data, s.len);
}

shoal_err refuse(errbuf *why, simdjson::error_code code)
{
    switch (code) {
    case simdjson::MEMALLOC: return SHOAL_ENOMEM;
    case simdjson::CAPACITY:
        return err_set(why, SHOAL_ETOOBIG, "the JSON text is larger than 4 GiB");
    case simdjson::DEPTH_ERROR:
        return err_set(why, SHOAL_EPARSE, "nested deeper than %d", JSON_DEPTH_MAX);
    case simdjson::EMPTY:
        return err_set(why, SHOAL_EPARSE, "the text is empty where JSON is expected");
    default: return err_set(why, SHOAL_EPARSE, "%s", simdjson::error_message(code));
    }
}

} // namespace

extern "C" {

enum shoal_err json_parse(struct slice text, struct json_doc **out, struct errbuf *why)
{
    *out = nullptr;
    void *room = mem_alloc(sizeof(json_doc));
    if (room == nullptr) {
        return SHOAL_ENOMEM;
    }
    json_doc *doc = new (room) json_doc;
    // simdjson counts the document itself as one level.
    simdjson::error_code code = doc->parser.allocate(text.len < 32 ? 32 : text.len, JSON_DEPTH_MAX);
    if (code == simdjson::SUCCESS) {
        code = doc->parser.parse(view(text).data(), text.len, true).get(doc->root);
    }
    if (code != simdjson::SUCCESS) {
        json_free(doc);
        return refuse(why, code);
    }
    *out = doc;
    return SHOAL_OK;
}

void json_free(struct json_doc *doc)
{
    if (doc != nullptr) {
        doc->~json_doc();
        mem_free(doc);
    }
}

struct json_value json_root(const struct json_doc *doc)
{
    return to_value(doc->root);
}

enum json_kind json_kind(struct json_value v)
{
    element e = to_element(v);
    enum json_kind kind = kind_of(e.type());
    // simdjson reads a small non-negative integer as signed.
    return kind == JSON_I64 && int64_t(e.get_int64().value_unsafe()) >= 0 ? JSON_U64 : kind;
}

bool json_bool(struct json_value v, bool *out)
{
    return to_element(v).get_bool().get(*out) == simdjson::SUCCESS;
}

bool json_u64(struct json_value v, uint64_t *out)
{
    uint64_t n;
    if (to_element(v).get_uint64().get(n) != simdjson::SUCCESS) {
        return false;
    }
    *out = n;
    return true;
}

bool json_i64(struct json_value v, int64_t *out)
{
    int64_t n;
    if (to_element(v).get_int64().get(n) != simdjson::SUCCESS) {
        return false;
    }
    *out = n;
    return true;
}

bool json_f64(struct json_value v, double *out)
{
    double d;
    if (to_element(v).get_double().get(d) != simdjson::SUCCESS) {
        return false;
    }
    *out = d;
    return true;
}

bool json_string(struct json_value v, struct slice *out)
{
    std::string_view s;
    if (to_element(v).get_string().get(s) != simdjson::SUCCESS) {
        return false;
    }
    *out = slice_make(s.data(), s.size());
    return true;
}

size_t json_len(struct json_value v)
{
    // simdjson keeps 24 bits of the length; at their ceiling one has to count.
    constexpr size_t saturated = 0xffffff;
    element e = to_element(v);
    simdjson::dom::array a;
    simdjson::dom::object o;
    size_t n = 0;
    if (e.get_array().get(a) == simdjson::SUCCESS) {
        n = a.size();
        if (n == saturated) {
            n = 0;
            for (element unused : a) {
                (void)unused;
                n++;
            }
        }
    } else if (e.get_object().get(o) == simdjson::SUCCESS) {
        n = o.size();
        if (n == saturated) {
            n = 0;
            for (auto unused : o) {
                (void)unused;
                n++;
            }
        }
    }
    return n;
}

bool json_get_slice(struct json_value v, struct slice key, struct json_value *out)
{
    simdjson::dom::object o;
    element e;
    if (to_element(v).get_object().get(o) != simdjson::SUCCESS ||
        o.at_key(view(key)).get(e) != simdjson::SUCCESS) {
        return false;
    }
    *out = to_value(e);
    return true;
}

bool json_get(struct json_value v, const char *key, struct json_value *out)
{
    return json_get_slice(v, slice_from_str(key), out);
}

struct json_iter json_iter(struct json_value v)
{
    cursor c = { walk::none, { 0, 0, 0, 0 } };
    element e = to_element(v);
    simdjson::dom::array a;
    simdjson::dom::object o;
    if (e.get_array().get(a) == simdjson::SUCCESS) {
        c.kind = walk::array;
        put(c.words, a.begin());
        put(c.words + 2, a.end());
    } else if (e.get_object().get(o) == simdjson::SUCCESS) {
        c.kind = walk::object;
        put(c.words, o.begin());
        put(c.words + 2, o.end());
    }
    struct json_iter it;
    std::memset(&it, 0, sizeof(it));
    std::memcpy(it.state, &c, sizeof(c));
    return it;
}

bool json_next(struct json_iter *it, struct slice *key, struct json_value *out)
{
    cursor c;
    std::memcpy(&c, it->state, sizeof(c));
    if (key != nullptr) {
        *key = slice_make(nullptr, 0);
    }
    if (c.kind == walk::array) {
        auto at = get<simdjson::dom::array::iterator>(c.words);
        auto end = get<simdjson::dom::array::iterator>(c.words + 2);
        if (!(at != end)) {
            return false;
        }
        *out = to_value(*at);
        put(c.words, ++at);
    } else if (c.kind == walk::object) {
        auto at = get<simdjson::dom::object::iterator>(c.words);
        auto end = get<simdjson::dom::object::iterator>(c.words + 2);
        if (!(at != end)) {
            return false;
        }
        if (key != nullptr) {
            std::string_view name = at.key();
            *key = slice_make(name.data(), name.size());
        }
        *out = to_value(at.value());
        put(c.words, ++at);
    } else {
        return false;
    }
    std::memcpy(it->state, &c, sizeof(c));
    return true;
}

bool json_floats(struct json_value v, float *out, size_t len)
{
    simdjson::dom::array a;
    if (to_element(v).get_array().get(a) != simdjson::SUCCESS) {
        return false;
    }
    size_t n = 0;
    for (element e : a) {
        double d;
        if (n == len || e.get_double().get(d) != simdjson::SUCCESS) {
            return false;
        }
        out[n++] = static_cast<float>(d);
    }
    return n == len;
}

} // extern "C"

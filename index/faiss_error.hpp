/* Turns what FAISS and the C++ library throw into our codes, for the shim's files alone. */
#ifndef SHOAL_INDEX_FAISS_ERROR_HPP
#define SHOAL_INDEX_FAISS_ERROR_HPP

#include "index/faiss_shim.h"

#include <exception>
#include <new>

namespace shoal
{

/* Thrown inside the shim only, to leave FAISS when the caller's build was cancelled. */
struct Canceled : std::exception {
    const char *what() const noexcept override
    {
        return "the build was cancelled";
    }
};

/* Runs fn, which may throw, and answers with a code. */
template <class Fn>
enum shoal_err guarded(struct errbuf *why, const char *doing, Fn fn) noexcept
{
    try {
        fn();
        return SHOAL_OK;
    } catch (const std::bad_alloc &) {
        return err_set(why, SHOAL_ENOMEM, "%s: out of memory", doing);
    } catch (const Canceled &) {
        return err_set(why, SHOAL_ECANCELED, "%s: cancelled", doing);
    } catch (const std::exception &e) {
        /* FAISS throws on violated preconditions only: ours to keep, so this is a bug of ours. */
        return err_set(why, SHOAL_EINVAL, "%s: FAISS refused: %s", doing, e.what());
    } catch (...) {
        return err_set(why, SHOAL_EINVAL, "%s: FAISS failed without a reason", doing);
    }
}

} // namespace shoal

#endif

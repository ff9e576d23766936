/* Score = cosine + OVERLAP_WEIGHT * overlap, against one threshold. Both measures fail alone: a
 * passage on the same subject that does not have the answer is near by cosine, and one that happens
 * to have the words is not near. */
#include "slm/answerable.h"

#include "slm/words.h"

#define OVERLAP_WEIGHT 0.5f

static float overlap_of(const struct words *question, size_t distinct, const struct words *title,
                        const struct words *text)
{
    size_t found = 0;
    for (size_t i = 0; i < question->len; i++) {
        const struct word *w = &question->list[i];
        const struct words before = { .list = question->list, .len = i };
        if (w->content && !words__has(&before, w->stem)) {
            found += words__has(title, w->stem) || words__has(text, w->stem);
        }
    }
    return distinct == 0 ? 0 : (float)found / (float)distinct;
}

enum shoal_err answerable_decide(struct slice question, const struct answerable_passage *passages,
                                 size_t len, struct arena *arena, struct answerable *out)
{
    *out = (struct answerable){ .yes = false };
    struct words asked;
    enum shoal_err rc = words__of(question, arena, &asked);
    if (rc != SHOAL_OK) {
        return rc;
    }
    size_t distinct = words__distinct(&asked);
    for (size_t i = 0; i < len; i++) {
        struct words title;
        struct words text;
        rc = words__of(passages[i].title, arena, &title);
        if (rc == SHOAL_OK) {
            rc = words__of(passages[i].text, arena, &text);
        }
        if (rc != SHOAL_OK) {
            return rc;
        }
        float overlap = overlap_of(&asked, distinct, &title, &text);
        float score = passages[i].cosine + OVERLAP_WEIGHT * overlap;
        if (i == 0 || score > out->score) {
            *out = (struct answerable){ .best = (uint32_t)i,
                                        .score = score,
                                        .cosine = passages[i].cosine,
                                        .overlap = overlap };
        }
    }
    out->yes = len > 0 && out->score >= ANSWERABLE_SCORE_MIN;
    return SHOAL_OK;
}

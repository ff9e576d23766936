/* A user's program: one header, one library; valid as C99 and as C++. Run by
 * test_client_library.sh with an address that the linked library can open. */
#include <shoal.h>

#include <stdio.h>
#include <string.h>

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

/* libshoal: the engine is not in it, and it says what to link instead. */
static int expect_no_engine(const char *url)
{
    struct shoal *db = NULL;
    char why[SHOAL_WHY_MAX];
    if (shoal_open(url, NULL, &db, why) != SHOAL_E_UNSUPPORTED || db != NULL) {
        return fail("file:///DIR was not refused", why);
    }
    return strstr(why, "libshoal-embedded") != NULL ? 0 : fail("no advice", why);
}

static int store_and_find(struct shoal *db)
{
    char why[SHOAL_WHY_MAX];
    struct shoal_collection collection;
    struct shoal_points points;
    struct shoal_search search;
    struct shoal_hits *hits = NULL;
    struct shoal_id ids[2];
    const float vectors[4] = { 1, 0, 0, 1 };
    const char *payloads[2] = { "{\"title\":\"one\"}", NULL };
    memset(&collection, 0, sizeof(collection));
    memset(&points, 0, sizeof(points));
    memset(&search, 0, sizeof(search));
    collection.dim = 2;
    if (shoal_collection_create(db, "books", &collection, why) != SHOAL_E_OK) {
        return fail("create", why);
    }
    ids[0] = shoal_id_number(1);
    ids[1] = shoal_id_number(2);
    points.len = 2;
    points.dim = 2;
    points.ids = ids;
    points.vectors = vectors;
    points.payloads = payloads;
    points.wait = true;
    if (shoal_upsert(db, "books", &points, why) != SHOAL_E_OK) {
        return fail("upsert", why);
    }
    search.vector = vectors;
    search.dim = 2;
    search.with_payload = true;
    if (shoal_search(db, "books", &search, &hits, why) != SHOAL_E_OK) {
        return fail("search", why);
    }
    int ok = hits->len == 2 && hits->hits[0].id.number == 1 &&
             strcmp(hits->hits[0].payload, "{\"title\":\"one\"}") == 0;
    shoal_hits_free(hits);
    return ok ? 0 : fail("search", "other hits than were stored");
}

int main(int argc, char **argv)
{
    struct shoal *db = NULL;
    char why[SHOAL_WHY_MAX];
    if (argc != 3) {
        return fail("usage", "client_library network|engine URL");
    }
    if (strcmp(argv[1], "network") == 0) {
        return expect_no_engine(argv[2]);
    }
    if (shoal_open(argv[2], NULL, &db, why) != SHOAL_E_OK) {
        return fail("open", why);
    }
    int code = store_and_find(db);
    shoal_close(db);
    return code;
}

/* The table of all routes, and the handlers in it. Private to rest*.c. */
#ifndef SHOAL_SERVER_REST_ROUTES_H
#define SHOAL_SERVER_REST_ROUTES_H

#include "server/route.h"

extern const struct route rest_routes[];
extern const size_t rest_routes_len;

/* rest_service.c */
route_fn rest_get_root;
route_fn rest_get_health;
route_fn rest_get_ready;
route_fn rest_get_metrics;
route_fn rest_get_telemetry;
route_fn rest_get_status;

/* rest_collections.c */
route_fn rest_list_collections;
route_fn rest_get_collection;
route_fn rest_collection_exists;
route_fn rest_create_collection;
route_fn rest_delete_collection;

/* rest_points_write.c */
route_fn rest_upsert_points;
route_fn rest_delete_points;
route_fn rest_set_payload;
route_fn rest_overwrite_payload;
route_fn rest_delete_payload;
route_fn rest_clear_payload;
route_fn rest_update_batch;

/* rest_points_read.c */
route_fn rest_get_point;
route_fn rest_retrieve_points;
route_fn rest_scroll_points;
route_fn rest_count_points;

/* rest_search.c */
route_fn rest_query_points;
route_fn rest_query_points_batch;
route_fn rest_search_points;
route_fn rest_search_points_batch;

/* rest_documents.c */
route_fn rest_create_documents;
route_fn rest_put_documents;
route_fn rest_check_documents;
route_fn rest_delete_documents;
route_fn rest_search_passages;
route_fn rest_ask;

/* rest_openai.c, rest_embeddings.c */
route_fn rest_chat;
route_fn rest_embeddings;
route_fn rest_get_models;
route_fn rest_get_model;

#endif

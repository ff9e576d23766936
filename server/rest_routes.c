#include "server/rest_routes.h"

/* A literal path stands before a pattern that it would fit as well. */
const struct route rest_routes[] = {
    /* the process */
    { HTTP_GET, "/", rest_get_root, REST_ARG_IGNORED, ROUTE_INLINE, ROUTE_BARE, NULL },
    { HTTP_GET, "/healthz", rest_get_health, REST_ARG_IGNORED, ROUTE_INLINE, ROUTE_BARE, NULL },
    { HTTP_GET, "/livez", rest_get_health, REST_ARG_IGNORED, ROUTE_INLINE, ROUTE_BARE, NULL },
    { HTTP_GET, "/readyz", rest_get_ready, REST_ARG_IGNORED, ROUTE_INLINE, ROUTE_BARE, NULL },
    { HTTP_GET, "/metrics", rest_get_metrics, REST_ARG_IGNORED, ROUTE_FREE, ROUTE_BARE, NULL },
    { HTTP_GET, "/telemetry", rest_get_telemetry, REST_ARG_IGNORED, ROUTE_FREE, ROUTE_RESULT,
      NULL },
    { HTTP_GET, "/v1/status", rest_get_status, REST_ARG_TIMEOUT, ROUTE_FREE, ROUTE_RESULT, NULL },

    /* documents and questions */
    { HTTP_PUT, "/v1/collections/{c}", rest_create_documents, REST_ARG_TIMEOUT, ROUTE_SLOW,
      ROUTE_RESULT, NULL },
    { HTTP_PUT, "/v1/collections/{c}/documents", rest_put_documents, REST_ARG_TIMEOUT, ROUTE_SLOW,
      ROUTE_RESULT, NULL },
    { HTTP_POST, "/v1/collections/{c}/documents/check", rest_check_documents, REST_ARG_TIMEOUT, 0,
      ROUTE_RESULT, NULL },
    { HTTP_POST, "/v1/collections/{c}/documents/delete", rest_delete_documents, REST_ARG_TIMEOUT, 0,
      ROUTE_RESULT, NULL },
    { HTTP_POST, "/v1/collections/{c}/search", rest_search_passages, REST_ARG_TIMEOUT, ROUTE_SLOW,
      ROUTE_RESULT, NULL },
    { HTTP_POST, "/v1/collections/{c}/ask", rest_ask, REST_ARG_TIMEOUT, ROUTE_SLOW, ROUTE_RESULT,
      NULL },

    /* OpenAI's API */
    { HTTP_POST, "/v1/chat/completions", rest_chat, REST_ARG_TIMEOUT, ROUTE_SLOW, ROUTE_OPENAI,
      NULL },
    { HTTP_POST, "/v1/embeddings", rest_embeddings, REST_ARG_TIMEOUT, ROUTE_SLOW, ROUTE_OPENAI,
      NULL },
    { HTTP_GET, "/v1/models", rest_get_models, 0, ROUTE_FREE, ROUTE_OPENAI, NULL },
    { HTTP_GET, "/v1/models/{m}", rest_get_model, 0, ROUTE_FREE, ROUTE_OPENAI, NULL },
    { HTTP_POST, "/v1/completions", NULL, 0, 0, ROUTE_OPENAI,
      "completions without a chat; use /v1/chat/completions" },
    { HTTP_POST, "/v1/responses", NULL, 0, 0, ROUTE_OPENAI, "responses; use /v1/chat/completions" },
};

const size_t rest_routes_len = sizeof(rest_routes) / sizeof(rest_routes[0]);

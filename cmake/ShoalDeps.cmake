# Every external library as one imported target Shoal::<name>, found by cmake/FindShoal<Name>.cmake.

find_package(Threads REQUIRED)
foreach(library Lmdb OpenBlas Microhttpd Simdjson Mpack Roaring Xxhash Cmocka Utf8proc Stemmer
        Cmark Gumbo Curl)
    find_package(Shoal${library} REQUIRED QUIET MODULE)
endforeach()
foreach(library faiss nng raft_face llama)
    if(NOT TARGET Shoal::${library})
        add_library(Shoal::${library} INTERFACE IMPORTED)
    endif()
endforeach()

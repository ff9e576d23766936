# utf8proc, text segmentation: apt libutf8proc-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalUtf8proc TARGET Shoal::utf8proc HEADER utf8proc.h LIBRARIES utf8proc)

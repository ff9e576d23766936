/* The main function of a fuzz target that is built without libFuzzer: feeds it every file of the
 * directories named on the command line, so that inputs which once found something are tried by
 * every build. It also feeds some of each file's prefixes: truncation is the commonest damage. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (1u << 20)
#define PREFIXES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The data is copied to an allocation of exactly its size, so that AddressSanitizer sees a read
 * past its end. */
static int feed(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL) {
        return -1;
    }
    if (len > 0) {
        memcpy(copy, data, len);
    }
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    return 0;
}

static int feed_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    int rc = -1;
    uint8_t *data = malloc(INPUT_BYTES_MAX);
    if (data == NULL) {
        goto out;
    }
    size_t len = fread(data, 1, INPUT_BYTES_MAX, file);
    if (ferror(file)) {
        perror(path);
        goto out;
    }
    rc = 0;
    for (size_t part = 0; part <= PREFIXES && rc == 0; part++) {
        rc = feed(data, len * part / PREFIXES);
    }
out:
    free(data);
    fclose(file);
    return rc;
}

static int feed_directory(const char *path, size_t *files)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return -1;
    }
    int rc = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL && rc == 0; entry = readdir(dir)) {
        char file[4096];
        struct stat info;
        int n = snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof(file) || stat(file, &info) != 0) {
            fprintf(stderr, "%s/%s: cannot be opened\n", path, entry->d_name);
            rc = -1;
        } else if (S_ISREG(info.st_mode)) {
            rc = feed_file(file);
            (*files)++;
        }
    }
    closedir(dir);
    return rc;
}

int main(int argc, char **argv)
{
    size_t files = 0;
    for (int i = 1; i < argc; i++) {
        if (feed_directory(argv[i], &files) != 0) {
            return EXIT_FAILURE;
        }
    }
    printf("%zu inputs replayed\n", files);
    return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE; /* an empty corpus tests nothing */
}

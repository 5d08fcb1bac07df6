#pragma once
/* A test program is a list of claims; a claim is a function that returns when it holds, and else ends the program. */
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);     \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

#define CHECK_EQUAL(found, wanted)                                                             \
    do {                                                                                       \
        long long found_ = (long long)(found), wanted_ = (long long)(wanted);                  \
        if (found_ != wanted_) {                                                               \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #found, found_, wanted_); \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

#define CLAIM(name) {name, #name}
struct claim {
    void (*holds)(void);
    const char *name;
};

static inline int run_claims(const char *program, const struct claim *claims, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fprintf(stderr, "%s: %s\n", program, claims[i].name);
        claims[i].holds();
    }
    return 0;
}

#define RUN_CLAIMS(...)                                                                        \
    int main(void)                                                                             \
    {                                                                                          \
        static const struct claim claims[] = {__VA_ARGS__};                                    \
        return run_claims(__FILE__, claims, sizeof claims / sizeof *claims);                   \
    }

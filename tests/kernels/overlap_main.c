/* Runs layers at places that overlap as far as the planner may let them, here or on an emulated core.
 *
 * Before each run the arena is filled with codes that mean nothing; what the layer must not touch is poisoned where the
 * address sanitizer is there. After it the output must be what it should be, and nothing beside the output, the memory to
 * work in and dying inputs may have changed. Records of int32 case, what there is to say and position go out, {-1, cases, 0}
 * is the last.
 */
#include <stdint.h>

#include "overlap_cases.h"

#ifdef __arm__
#include "emulated_start.h"
#else
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#endif

#define MARGIN 64

enum { BEGUN = 0, WRONG_CODE = 1, WRITTEN = 2, TOUCHED = 3 };

#ifndef OVERLAP_END
static int8_t arena[OVERLAP_BYTES + 2 * MARGIN] __attribute__((aligned(16)));
#endif
static int8_t before[OVERLAP_BYTES + 2 * MARGIN];
static int32_t current;

static void record(int32_t number, int32_t kind, int32_t position)
{
    const int32_t values[3] = {number, kind, position};
#ifdef __arm__
    put(values, sizeof values);
#else
    fwrite(values, sizeof values[0], 3, stdout);
    fflush(stdout);
#endif
}

#ifdef __arm__
#define POISON(start, bytes)
#define UNPOISON(start, bytes)
#else
#define POISON(start, bytes) __asan_poison_memory_region(start, (size_t)(bytes))
#define UNPOISON(start, bytes) __asan_unpoison_memory_region(start, (size_t)(bytes))

/* Called by the sanitizer when it reports an error. */
void __asan_on_error(void);
void __asan_on_error(void)
{
    record(current, TOUCHED, 0);
}
#endif

static int within(int32_t position, int32_t start, int32_t bytes)
{
    return start >= 0 && position >= start && position < start + bytes;
}

static void copy(int8_t *to, const int8_t *from, int32_t bytes)
{
    for (int32_t i = 0; i < bytes; ++i) {
        to[i] = from[i];
    }
}

static void check(int32_t number)
{
    const overlap_case *one = &overlap_cases[number];
    const overlap_data *data = &overlap_data_of[one->data];
    const int32_t margin = one->at_end ? 0 : MARGIN, whole = MARGIN + one->bytes + margin;
#ifdef OVERLAP_END
    int8_t *const start = (int8_t *)((uintptr_t)OVERLAP_END - (uintptr_t)(one->bytes + margin));
#else
    int8_t *const start = arena + MARGIN;
#endif
    uint32_t random = (uint32_t)number * 2654435761u + 1;
    current = number;
    for (int32_t i = -MARGIN; i < whole - MARGIN; ++i) {
        random = random * 1664525u + 1013904223u;
        start[i] = (int8_t)(uint8_t)(random >> 24);
    }
    copy(start + (one->first < 0 ? 0 : one->first), data->first, one->first < 0 ? 0 : data->first_bytes);
    copy(start + (one->second < 0 ? 0 : one->second), data->second, one->second < 0 ? 0 : data->second_bytes);
    copy(before, start - MARGIN, whole);
    const int8_t *const first = start + one->first, *const second = start + one->second;
    int8_t *const output = start + one->output, *const scratch = start + one->scratch;
    POISON(start - MARGIN, whole);
    UNPOISON(output, data->output_bytes);
    if (one->first >= 0) {
        UNPOISON(first, data->first_bytes + one->overread);
    }
    if (one->second >= 0) {
        UNPOISON(second, data->second_bytes);
    }
    if (one->scratch >= 0) {
        UNPOISON(scratch, one->scratch_bytes);
    }
    record(number, BEGUN, 0);
    one->run(first, second, output, scratch);
    UNPOISON(start - MARGIN, whole);
    for (int32_t i = 0; i < data->output_bytes; ++i) {
        if (output[i] != data->output[i]) {
            record(number, WRONG_CODE, i);
            break;
        }
    }
    for (int32_t i = -MARGIN; i < whole - MARGIN; ++i) {
        const int expected = within(i, one->output, data->output_bytes) || within(i, one->scratch, one->scratch_bytes) ||
                             (one->first_dies && within(i, one->first, data->first_bytes)) ||
                             (one->second_dies && within(i, one->second, data->second_bytes));
        if (!expected && start[i] != before[MARGIN + i]) {
            record(number, WRITTEN, i);
            break;
        }
    }
}

int main(void)
{
#ifdef __arm__
    open_output();
    start_timer();
    (void)now();
#endif
    for (int32_t number = 0; number < OVERLAP_CASES; ++number) {
        check(number);
    }
    record(-1, OVERLAP_CASES, 0);
    return 0;
}

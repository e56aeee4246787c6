/* Where a debug model's inputs come from and its tensors go to: two files, on a host or through an emulator. */
#ifndef OFA_OBSERVE_H
#define OFA_OBSERVE_H

#include <stdint.h>

/* Opens `inputs.bin` to read and `tensors.bin` to write, in the current folder of the host; 0 where that fails. */
int ofa_files_open(void);

/* Reads exactly `bytes` bytes; 0 at the end of the file. */
int ofa_files_read(void *data, uint32_t bytes);

/* Writes `bytes` bytes; 0 where that fails. */
int ofa_files_write(const void *data, uint32_t bytes);

/* Writes out what is still buffered; 0 where that fails. */
int ofa_files_close(void);

/* Runs the model on every input; 0 if all went well. */
int ofa_observe_all(void);

#endif

/* Line protocol between the host and the firmware; docs in protocol.c. */
#ifndef OFA_PROTOCOL_H
#define OFA_PROTOCOL_H

#ifdef __cplusplus
extern "C" {
#endif

/* Reads one line, does what it asks and answers. */
void ofa_protocol_step(void);

/* Sends `0 err <reason> <value>`: something happened that no request asked for. */
void ofa_protocol_alarm(const char *reason, unsigned long value);

#ifdef __cplusplus
}
#endif

#endif

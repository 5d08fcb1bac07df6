#pragma once
/* A stream on its way to another process, as the daemon passes it: its descriptors and a claim. */
#include "streams.h"

struct ticket {
    struct peppy_claim claim;
    int data_fd, ctrl_fd, space_fd; /* descriptors of the receiver; the last is -1 on overwriting streams */
};

void send_ticket(int socket, struct peppy_writer *writer, const struct peppy_claim *claim);
struct ticket receive_ticket(int socket);
struct peppy_reader *open_ticket(const struct ticket *ticket, int lapped); /* closes the descriptors */

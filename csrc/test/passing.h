#pragma once
/* A stream on its way to another process, as the daemon passes it: two descriptors and a claim. */
#include "streams.h"

struct ticket {
    struct peppy_claim claim;
    int data_fd, ctrl_fd; /* descriptors of the receiver */
};

void send_ticket(int socket, struct peppy_writer *writer, const struct peppy_claim *claim);
struct ticket receive_ticket(int socket);
struct peppy_reader *open_ticket(const struct ticket *ticket, int lapped); /* closes both descriptors */

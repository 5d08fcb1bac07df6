#include "passing.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "claims.h"

union control {
    char bytes[CMSG_SPACE(3 * sizeof(int))];
    struct cmsghdr aligned;
};

void send_ticket(int socket, struct peppy_writer *writer, const struct peppy_claim *claim)
{
    int descriptors[3] = {peppy_writer_data_fd(writer), peppy_writer_ctrl_fd(writer), peppy_writer_space_fd(writer)};
    size_t bytes = sizeof(int) * (descriptors[2] < 0 ? 2 : 3);
    struct peppy_claim copy = *claim;
    struct iovec body = {&copy, sizeof copy};
    union control control = {{0}};
    struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1, .msg_control = &control};
    message.msg_controllen = CMSG_SPACE(bytes);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(header), descriptors, bytes);
    CHECK_EQUAL(sendmsg(socket, &message, MSG_NOSIGNAL), sizeof copy);
}

struct ticket receive_ticket(int socket)
{
    struct ticket ticket;
    int descriptors[3] = {-1, -1, -1};
    struct iovec body = {&ticket.claim, sizeof ticket.claim};
    union control control;
    struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1, .msg_control = &control};
    message.msg_controllen = sizeof control;
    CHECK_EQUAL(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), sizeof ticket.claim);
    CHECK(CMSG_FIRSTHDR(&message));
    memcpy(descriptors, CMSG_DATA(CMSG_FIRSTHDR(&message)), CMSG_FIRSTHDR(&message)->cmsg_len - CMSG_LEN(0));
    ticket.data_fd = descriptors[0];
    ticket.ctrl_fd = descriptors[1];
    ticket.space_fd = descriptors[2];
    return ticket;
}

struct peppy_reader *open_ticket(const struct ticket *ticket, int lapped)
{
    struct peppy_reader *reader = NULL;
    CHECK_EQUAL(peppy_reader_open(ticket->data_fd, ticket->ctrl_fd, &ticket->claim, lapped, &reader), 0);
    close(ticket->data_fd);
    close(ticket->ctrl_fd);
    if (ticket->space_fd >= 0) {
        CHECK_EQUAL(peppy_reader_space(reader, ticket->space_fd), 0);
        close(ticket->space_fd);
    }
    return reader;
}

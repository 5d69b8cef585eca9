/* libmicrohttpd as a table of functions, opened at run time: of memtop's commands only serve needs
 * it, and it brings a dozen libraries with it. */
#ifndef MEMTOP_MHD_H
#define MEMTOP_MHD_H

#include <microhttpd.h>

#define MHD_FUNCTIONS(F)                                                                           \
    F(MHD_start_daemon)                                                                            \
    F(MHD_stop_daemon)                                                                             \
    F(MHD_lookup_connection_value)                                                                 \
    F(MHD_queue_response)                                                                          \
    F(MHD_suspend_connection)                                                                      \
    F(MHD_resume_connection)                                                                       \
    F(MHD_create_response_from_buffer)                                                             \
    F(MHD_create_response_from_callback)                                                           \
    F(MHD_add_response_header)                                                                     \
    F(MHD_destroy_response)                                                                        \
    F(MHD_get_connection_info)                                                                     \
    F(MHD_basic_auth_get_username_password)                                                        \
    F(MHD_free)                                                                                    \
    F(MHD_is_feature_supported)

struct mhd {
#define MHD_FIELD(name) __typeof__(&name) name;
    MHD_FUNCTIONS(MHD_FIELD)
#undef MHD_FIELD
};

/* The table, or NULL with one line in *why (static) if the library or one of its functions is
 * missing.  Before other threads run. */
const struct mhd *mhd_get(const char **why);

#endif

#include "cli/own.h"
const own_flag_t selftest_flags[] = { { NULL, NULL, NULL } };
app_exit_t selftest_run(app_t *app, const own_t *own, const own_args_t *args) { (void) app; (void) own; (void) args; return APP_OK; }

/*
 * until - waiting for what another thread does
 */
#ifndef UNIT_UNTIL_H
#define UNIT_UNTIL_H

#include <unistd.h>

#define PATIENCE 20000 /* ms: not until a test should pass, but until it has failed */

/* As long as that holds, and no longer than PATIENCE: then the test goes on, and fails. */
#define WAIT_WHILE(condition)                                           \
	do {                                                            \
		for (int ms_ = 0; (condition) && ms_ < PATIENCE; ms_++) \
			usleep(1000);                                   \
	} while (0)

/* The same, and it is so then. Needs cmocka.h before it. */
#define UNTIL(condition)                  \
	do {                              \
		WAIT_WHILE(!(condition)); \
		assert_true(condition);   \
	} while (0)

#endif

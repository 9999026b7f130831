#include "cmd/units.h"

#include <stdio.h>

static void scaled(double value, const char *units, char ret_text[UNITS_SIZE])
{
	while (value >= 9999.5 && units[1]) {
		value /= 1000;
		units++;
	}
	snprintf(ret_text, UNITS_SIZE, "%.*f%c", value < 99.95 ? 1 : 0, value, *units);
}

void units_count(uint64_t value, char ret_text[UNITS_SIZE])
{
	if (value < 10000000)
		snprintf(ret_text, UNITS_SIZE, "%llu", (unsigned long long)value);
	else
		scaled((double)value / 1e6, "MGTPE", ret_text);
}

void units_rate(double value, char ret_text[UNITS_SIZE])
{
	if (value < 0.05)
		snprintf(ret_text, UNITS_SIZE, "-");
	else if (value < 9999.5)
		snprintf(ret_text, UNITS_SIZE, "%.*f", value < 9.95 ? 1 : 0, value);
	else
		scaled(value / 1000, "kMGTPE", ret_text);
}

/*
 * Changes every other page of a mapping, so that each call cuts the mapping
 * once more, until the process has as many mappings as it may have.
 *
 * Refused by: vm.max_map_count, ENOMEM, though there is memory enough.
 */
#include "example.h"

#define TOO_MANY 2000000UL

int main(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	unsigned long limit = 0;
	char *pages;

	if (!file || fscanf(file, "%lu", &limit) != 1 || limit > TOO_MANY) {
		say("vm.max_map_count is unknown or too high to reach: %lu\n", limit);
		return NOT_HERE;
	}
	fclose(file);
	say("vm.max_map_count is %lu\n", limit);

	pages = mmap(NULL, (limit + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!report("mmap(NONE)", pages != MAP_FAILED))
		return REFUSED;
	for (unsigned long i = 1; i < limit + 1; i += 2) {
		if (mprotect(pages + i * PAGE, PAGE, PROT_READ) != 0) {
			say("mprotect(R) of one page, after %lu like it: %s\n", i / 2, strerror(errno));
			return REFUSED;
		}
	}
	say("mprotect(R) of every other page: ok\n");
	return GRANTED;
}

/*
 * As many children as the first argument says, all alive at once, of which as many as the second says are refused
 * executable memory under MDWE. Prints its limits on descriptors, and how many were refused.
 */
#include "case.h"

int main(int argc, char **argv)
{
	int crowd = argc > 1 ? atoi(argv[1]) : 1, asking = argc > 2 ? atoi(argv[2]) : 1, born[2], go[2], refused = 0;
	struct rlimit both;
	char *page = map(PAGE, RW), byte;

	need(getrlimit(RLIMIT_NOFILE, &both) == 0, "the limit");
	printf("%lu %lu\n", (unsigned long)both.rlim_cur, (unsigned long)both.rlim_max);
	fflush(stdout);
	need(pipe(born) == 0 && pipe(go) == 0, "two pipes");
	refuse_exec_gain();
	for (int i = 0; i < crowd; i++) {
		pid_t child = fork();

		need(child != -1, "a child");
		if (child == 0) {
			close(go[1]);
			/* Something that has to be looked up in the map. */
			need(mmap(NULL, PAGE, R, MAP_PRIVATE, open_self(), 0) != MAP_FAILED, "a file");
			need(write(born[1], "b", 1) == 1, "to say that it lives");
			need(read(go[0], &byte, 1) == 0, "the others");
			_exit(i < asking && mprotect(page, PAGE, RX) == -1);
		}
	}
	for (int i = 0; i < crowd; i++)
		need(read(born[0], &byte, 1) == 1, "that all live");
	close(go[1]);
	for (int i = 0; i < crowd; i++) {
		int status;

		need(wait(&status) != -1, "the end of a child");
		refused += WIFEXITED(status) && WEXITSTATUS(status) == 1;
	}
	printf("%d refused\n", refused);
	return 0;
}

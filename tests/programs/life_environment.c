/* Prints its arguments and its environment, each behind a zero byte. With `odd LOCALE STATE PROGRAM…`: runs that
 * program in an environment that no shell would make. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	if (argc > 4 && strcmp(argv[1], "odd") == 0) {
		char locale[100], state[4096];
		char *odd[] = {"TWICE=1", "TWICE=2", "NOT-UTF-8=\xff\xfe", "without-equals", "=nameless",
			       "PATH=/usr/bin:/bin", state, locale, NULL};

		snprintf(locale, sizeof(locale), "LC_ALL=%s", argv[2]);
		snprintf(state, sizeof(state), "XDG_STATE_HOME=%s", argv[3]);
		if (strcmp(argv[2], "-") == 0)
			odd[7] = NULL;
		execve(argv[4], argv + 4, odd);
		return 1;
	}
	for (int i = 0; i < argc; i++)
		fwrite(argv[i], 1, strlen(argv[i]) + 1, stdout);
	for (char **entry = environ; *entry; entry++)
		fwrite(*entry, 1, strlen(*entry) + 1, stdout);
	return 0;
}

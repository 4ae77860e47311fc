/* A program in the foreground of a terminal. It says `up`, waits for what its argument names, and says that. */
#include "case.h"
#include <signal.h>
#include <sys/ioctl.h>

static void block(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void await(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	while (sigwaitinfo(&set, NULL) != number)
		;
}

static void up(void)
{
	printf("up %d\n", getpid());
	fflush(stdout);
}

static long wait_for_ever(void)
{
	up();
	for (;;)
		pause();
}

static long wait_for_input(void)
{
	char line[64];

	up();
	need(fgets(line, sizeof(line), stdin) != NULL, "a line");
	printf("got %s", line);
	return 0;
}

static long handles(int number, const char *name)
{
	block(number);
	up();
	await(number);
	munmap(map(PAGE, R), PAGE);
	printf("got %s\n", name);
	return 0;
}

static long handles_interrupt(void)
{
	return handles(SIGINT, "SIGINT");
}

static long handles_termination(void)
{
	return handles(SIGTERM, "SIGTERM");
}

static long handles_window_size(void)
{
	struct winsize size;

	handles(SIGWINCH, "SIGWINCH");
	need(ioctl(1, TIOCGWINSZ, &size) == 0, "a size");
	printf("%d columns\n", size.ws_col);
	return 0;
}

static const struct attempt cases[] = {
	{"wait-for-ever", wait_for_ever}, {"wait-for-input", wait_for_input}, {"handles-interrupt", handles_interrupt},
	{"handles-termination", handles_termination}, {"handles-window-size", handles_window_size},
};

int main(int argc, char **argv)
{
	return RUN(cases);
}

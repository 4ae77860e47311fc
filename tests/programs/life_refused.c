/* Asks for executable memory again and again under MDWE, as often as the argument says, and ends with 3. */
#include "case.h"

int main(int argc, char **argv)
{
	char *page = map(PAGE, RW);
	int granted = 0;

	refuse_exec_gain();
	for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 1); i++)
		granted += mprotect(page, PAGE, RX) == 0;
	return granted ? 1 : 3;
}

/*
 * Loads a library that is marked as needing an executable stack, so the
 * loader tries to make the stack executable.
 *
 * Refused by: SELinux (execstack), MDWE, a seccomp filter; and by the C
 * library itself from glibc 2.41 on, which then asks the kernel for nothing.
 */
#include "example.h"

#include <dlfcn.h>

int main(void)
{
	void *library = dlopen("execstack_lib.so", RTLD_NOW);
	int (*answer)(void);

	if (!library) {
		say("dlopen: %s\n", dlerror());
		return REFUSED;
	}
	say("dlopen: ok\n");
	answer = (int (*)(void))dlsym(library, "execstack_answer");
	say("the library returned %d\n", answer());
	return GRANTED;
}

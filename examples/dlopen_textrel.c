/*
 * Loads a library with a text relocation: the loader makes its code writable,
 * executable as it is, patches it, and takes the permission back.
 *
 * Refused by: SELinux (execmem), MDWE, a seccomp filter.
 */
#include "example.h"

#include <dlfcn.h>

int main(void)
{
	void *library = dlopen("textrel_lib.so", RTLD_NOW);
	int (*answer)(void);

	if (!library) {
		say("dlopen: %s\n", dlerror());
		return REFUSED;
	}
	say("dlopen: ok\n");
	answer = (int (*)(void))dlsym(library, "textrel_answer");
	say("the library returned %d\n", answer());
	return GRANTED;
}

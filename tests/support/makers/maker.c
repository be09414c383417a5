#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    printf("first\n");
    printf("line\n");
    if (write(open(argv[argc - 1], O_WRONLY), "told", 4) != 4)
        return 1;
    for (;;)
        pause();
}

/* static [FILE]: a program that no library can be loaded into. Writes "static\n" to FILE. */
#include <stdio.h>

int main(int argc, char **argv)
{
    FILE *file = argc > 1 ? fopen(argv[1], "w") : stdout;

    return file && fputs("static\n", file) >= 0 && fclose(file) == 0 ? 0 : 1;
}

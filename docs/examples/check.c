/* check FILE...: is each file what was saved? Exits with the worst answer, as saveseal(1) does: 0 when all are whole.
 *
 *     cc -o check check.c $(pkg-config --cflags --libs saveseal)
 */
#include <saveseal.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A value other than 0 would end the check. */
static int show_progress(void *context, uint64_t done, uint64_t size)
{
    fprintf(stderr, "%s: %.0f of %.0f MiB\n", (const char *)context, (double)done / 1048576, (double)size / 1048576);
    return 0;
}

static void show(const char *path, const saveseal_result *result)
{
    const saveseal_seal *seal = saveseal_result_seal(result);
    time_t when = (time_t)saveseal_seal_time(seal);
    char text[sizeof "2025-11-22 19:10:11"] = "";

    /* The text is safe for a terminal. What has the bytes of the file in it, the detail or a fact, is not. */
    printf("%s: %s\n", path, saveseal_result_text(result));
    if (seal && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime(&when)) > 0)
        printf("    sealed %s\n", text);
    if (saveseal_result_inside_title(result))
        printf("    %s\n", saveseal_result_inside_title(result));
    if (saveseal_result_class(result) == SAVESEAL_CLASS_TEMPORARY)
        printf("    (a program would try again in a while)\n");
}

int main(int argc, char **argv)
{
    enum saveseal_class worst = SAVESEAL_CLASS_INTACT;
    saveseal_options *options = NULL;

    int r = saveseal_options_new(&options);
    if (r == 0)
        r = saveseal_options_set_level(options, SAVESEAL_LEVEL_WHOLE);
    for (int i = 1; r == 0 && i < argc; i++) {
        saveseal_result *result = NULL;
        saveseal_options_set_progress(options, show_progress, argv[i]);
        r = saveseal_check_path(argv[i], options, &result);
        if (r == 0) {
            show(argv[i], result);
            worst = saveseal_class_worse(worst, saveseal_result_class(result));
        }
        saveseal_result_free(result);
    }
    saveseal_options_free(options);
    if (r < 0) {
        fprintf(stderr, "check: %s\n", strerror(-r));
        return SAVESEAL_CLASS_TEMPORARY;
    }
    return worst;
}

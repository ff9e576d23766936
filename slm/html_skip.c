#include "slm/html.h"

#include <string.h>
#include <strings.h>

/* Classes that mark navigation in what documentation is made with: DocBook, Sphinx, MkDocs,
 * Doxygen, MediaWiki. */
static const char *const classes[] = {
    "navheader",       "navfooter",       "toc",           "list-of-tables",
    "list-of-figures", "navbar",          "nav",           "navigation",
    "navpath",         "breadcrumb",      "breadcrumbs",   "sphinxsidebar",
    "related",         "headerlink",      "anchor-link",   "skip-link",
    "visually-hidden", "sr-only",         "screen-reader", "mw-editsection",
    "noprint",         "toctree-wrapper", "printfooter"
};

static const char *const roles[] = { "navigation", "search", "menu", "menubar", "contentinfo" };

static bool among(const char *const *list, size_t len, const char *word, size_t word_len)
{
    for (size_t i = 0; i < len; i++) {
        if (strlen(list[i]) == word_len && strncasecmp(list[i], word, word_len) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_class_of_navigation(const char *value)
{
    static const char blanks[] = " \t\r\n\f";
    for (const char *p = value + strspn(value, blanks); *p != '\0'; p += strspn(p, blanks)) {
        size_t len = strcspn(p, blanks);
        if (among(classes, sizeof(classes) / sizeof(classes[0]), p, len)) {
            return true;
        }
        p += len;
    }
    return false;
}

static bool style_hides(const char *value)
{
    const char *display = strcasestr(value, "display");
    const char *visibility = strcasestr(value, "visibility");
    return (display != NULL &&
            strncasecmp(display + 7 + strspn(display + 7, " :"), "none", 4) == 0) ||
           (visibility != NULL &&
            strncasecmp(visibility + 10 + strspn(visibility + 10, " :"), "hidden", 6) == 0);
}

static bool attribute_leaves_out(const GumboAttribute *a)
{
    if (strcasecmp(a->name, "hidden") == 0) {
        return true;
    }
    if (strcasecmp(a->name, "aria-hidden") == 0) {
        return strcasecmp(a->value, "true") == 0;
    }
    if (strcasecmp(a->name, "role") == 0) {
        return among(roles, sizeof(roles) / sizeof(roles[0]), a->value, strlen(a->value));
    }
    if (strcasecmp(a->name, "style") == 0) {
        return style_hides(a->value);
    }
    return strcasecmp(a->name, "class") == 0 && has_class_of_navigation(a->value);
}

static bool has_prose(const GumboNode *node)
{
    for (unsigned i = 0; i < html__children(node); i++) {
        const GumboNode *child = html__child(node, i);
        if (child->type == GUMBO_NODE_ELEMENT) {
            GumboTag tag = child->v.element.tag;
            if (tag == GUMBO_TAG_P || tag == GUMBO_TAG_PRE ||
                (tag >= GUMBO_TAG_H1 && tag <= GUMBO_TAG_H6) || has_prose(child)) {
                return true;
            }
        }
    }
    return false;
}

static bool tag_leaves_out(const GumboNode *element)
{
    switch (element->v.element.tag) {
    case GUMBO_TAG_SCRIPT:   /* fall through */
    case GUMBO_TAG_STYLE:    /* fall through */
    case GUMBO_TAG_TEMPLATE: /* fall through */
    case GUMBO_TAG_NOSCRIPT: /* fall through */
    case GUMBO_TAG_NOFRAMES: /* fall through */
    case GUMBO_TAG_NOEMBED:  /* fall through */
    case GUMBO_TAG_HEAD:     /* fall through */
    case GUMBO_TAG_TITLE:    /* fall through */
    case GUMBO_TAG_NAV:      /* fall through */
    case GUMBO_TAG_FOOTER:   /* fall through */
    case GUMBO_TAG_BUTTON:   /* fall through */
    case GUMBO_TAG_SELECT:   /* fall through */
    case GUMBO_TAG_TEXTAREA: /* fall through */
    case GUMBO_TAG_DATALIST: /* fall through */
    case GUMBO_TAG_IFRAME:   /* fall through */
    case GUMBO_TAG_OBJECT:   /* fall through */
    case GUMBO_TAG_VIDEO:    /* fall through */
    case GUMBO_TAG_AUDIO:    /* fall through */
    case GUMBO_TAG_CANVAS:   /* fall through */
    case GUMBO_TAG_SVG: return true;
    /* Some servers wrap the whole page in a form. */
    case GUMBO_TAG_FORM: return !has_prose(element);
    default: return false;
    }
}

bool html__is_left_out(const GumboNode *element)
{
    const GumboVector *attributes = &element->v.element.attributes;
    GumboTag tag = element->v.element.tag;
    if (tag == GUMBO_TAG_HTML || tag == GUMBO_TAG_BODY) {
        return false; /* whatever hides them until a script has run */
    }
    if (tag_leaves_out(element)) {
        return true;
    }
    for (unsigned i = 0; i < attributes->length; i++) {
        if (attribute_leaves_out(attributes->data[i])) {
            return true;
        }
    }
    return false;
}

bool html__is_main(const GumboNode *element)
{
    const GumboAttribute *role = gumbo_get_attribute(&element->v.element.attributes, "role");
    return element->v.element.tag == GUMBO_TAG_MAIN ||
           (role != NULL && strcasecmp(role->value, "main") == 0);
}

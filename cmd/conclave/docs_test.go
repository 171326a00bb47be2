package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// root is that of the repository.
const root = "../.."

var flagRow = regexp.MustCompile("(?m)^\\| `--([a-z-]+)")

// TestFlagsAreDocumented: docs/operations.md has a row for each flag of serve, and for no other.
func TestFlagsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, row := range flagRow.FindAllStringSubmatch(string(page), -1) {
		rows[row[1]] = true
	}
	parser, err := kong.New(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(parser.Model.Children, func(c *kong.Node) bool { return c.Name == "serve" })
	for _, flag := range parser.Model.Children[at].Flags {
		if flag.Name != "help" && !flag.Hidden && !rows[flag.Name] {
			t.Errorf("docs/operations.md has no row for --%s", flag.Name)
		}
		delete(rows, flag.Name)
	}
	for name := range rows {
		t.Errorf("docs/operations.md has a row for --%s, which serve does not have", name)
	}
}

// pages are all Markdown files of the repository, by their paths from its root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{"node_modules", ".git", "bin"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		list[filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	named   = regexp.MustCompile(`<a id="([^"]*)"`)
	strange = regexp.MustCompile(`[^a-z0-9 -]`)
)

// anchors are what GitHub makes of a page's headings, and what it names itself.
func anchors(page string) (list []string) {
	for _, a := range named.FindAllStringSubmatch(page, -1) {
		list = append(list, "#"+a[1])
	}
	for _, h := range heading.FindAllStringSubmatch(page, -1) {
		list = append(list, "#"+strings.ReplaceAll(strange.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return list
}

// TestLinksLead: links from page to page lead to files, and to places in them, that are there.
func TestLinksLead(t *testing.T) {
	all := pages(t)
	for path, page := range all {
		for _, l := range link.FindAllStringSubmatch(page, -1) {
			to, anchor := l[1], l[2]
			if strings.Contains(to, "://") {
				continue
			}
			target := path
			if to != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(path), to))
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s leads to %s, which is not there", path, target)
			}
			if anchor != "" && !slices.Contains(anchors(all[target]), anchor) {
				t.Errorf("%s leads to %s%s, which is not there", path, target, anchor)
			}
		}
	}
}

// TestDecisionsAreListed: the index names each record by its title.
func TestDecisionsAreListed(t *testing.T) {
	all := pages(t)
	index := all["docs/adr/README.md"]
	found := 0
	for path, page := range all {
		name := filepath.Base(path)
		if filepath.Dir(path) != "docs/adr" || name == "README.md" {
			continue
		}
		found++
		title, _, _ := strings.Cut(page, "\n")
		title, ok := strings.CutPrefix(title, "# "+name[:4]+": ")
		if row := "| [" + name[:4] + "](" + name + ") | "; !ok || !strings.Contains(index, row+title) {
			t.Errorf("docs/adr/README.md has no row %s%s", row, title)
		}
	}
	if found == 0 {
		t.Error("there are no records")
	}
}

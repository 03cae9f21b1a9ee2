// Checks files under examples/ and the Containerfile with the libraries of the tools that read them: Docker Compose,
// actionlint, BuildKit, Terraform. It prints one JSON object: what each file says, and every finding.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/hashicorp/terraform-config-inspect/tfconfig"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/rhysd/actionlint"
)

func main() {
	root := os.Args[1]
	report := map[string]any{
		"compose":       compose(filepath.Join(root, "examples/docker/compose.yaml")),
		"workflow":      workflow(filepath.Join(root, "examples/github-actions/bedrock.yaml")),
		"containerfile": containerfile(filepath.Join(root, "Containerfile")),
		"lambda":        containerfile(filepath.Join(root, "examples/lambda/Containerfile")),
		"ignore":        ignored(root, os.Args[2:]),
		"terraform":     terraform(filepath.Join(root, "examples/terraform")),
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		panic(err)
	}
}

// compose loads the project as `docker compose config` does and returns it with interpolated values.
func compose(path string) any {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithOsEnv)
	if err != nil {
		return failed(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return failed(err)
	}
	text, err := project.MarshalJSON()
	if err != nil {
		return failed(err)
	}
	return map[string]any{"project": json.RawMessage(text)}
}

// workflow runs actionlint, without shellcheck and pyflakes, which it starts as programs.
func workflow(path string) any {
	lint, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		return failed(err)
	}
	found, err := lint.LintFile(path, nil)
	if err != nil {
		return failed(err)
	}
	return map[string]any{"findings": texts(found)}
}

// containerfile parses with BuildKit and returns the stages, the last one's instructions, and the lint warnings.
func containerfile(path string) any {
	text, err := os.ReadFile(path)
	if err != nil {
		return failed(err)
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return failed(err)
	}
	findings := []string{}
	warn := func(rule, description, url, message string, _ []parser.Range) {
		findings = append(findings, fmt.Sprintf("%s: %s", rule, message))
	}
	stages, _, err := instructions.Parse(tree.AST, linter.New(&linter.Config{Warn: warn}))
	if err != nil {
		return failed(err)
	}
	names := []any{}
	for _, stage := range stages {
		commands := []string{}
		for _, command := range stage.Commands {
			commands = append(commands, fmt.Sprint(command))
		}
		names = append(names, map[string]any{"name": stage.Name, "from": stage.BaseName, "commands": commands})
	}
	return map[string]any{"stages": names, "findings": findings}
}

// ignored tells for each path whether .dockerignore keeps it out of the build context.
func ignored(root string, paths []string) any {
	file, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		return failed(err)
	}
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		return failed(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return failed(err)
	}
	out := map[string]bool{}
	for _, path := range paths {
		match, err := matcher.MatchesOrParentMatches(path)
		if err != nil {
			return failed(err)
		}
		out[path] = match
	}
	return out
}

// terraform reads the module as Terraform's own inspection library does: syntax, variables, outputs, resources and
// provider requirements. Without the provider's schema, arguments of resources are not checked.
func terraform(directory string) any {
	module, problems := tfconfig.LoadModule(directory)
	findings := []string{}
	for _, problem := range problems {
		findings = append(findings, problem.Summary+": "+problem.Detail)
	}
	files, _ := filepath.Glob(filepath.Join(directory, "*.tf"))
	parse := hclparse.NewParser()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return failed(err)
		}
		if _, problems := parse.ParseHCL(text, file); problems.HasErrors() {
			findings = append(findings, problems.Error())
		}
		if !bytes.Equal(hclwrite.Format(text), text) {
			findings = append(findings, filepath.Base(file)+" is not formatted as `terraform fmt` does")
		}
		findings = append(findings, references(module, string(text))...)
	}
	return map[string]any{
		"findings": findings, "variables": keys(module.Variables), "outputs": keys(module.Outputs),
		"resources": keys(module.ManagedResources), "providers": keys(module.RequiredProviders),
	}
}

// references finds uses of variables that the module does not declare.
func references(module *tfconfig.Module, text string) []string {
	found := []string{}
	for _, rest := range strings.Split(text, "var.")[1:] {
		name := rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz_"))]
		if _, ok := module.Variables[name]; !ok {
			found = append(found, "var."+name+" is not declared")
		}
	}
	return found
}

func keys[T any](of map[string]T) []string {
	names := []string{}
	for name := range of {
		names = append(names, name)
	}
	return names
}

func texts(errors []*actionlint.Error) []string {
	found := []string{}
	for _, one := range errors {
		found = append(found, one.Error())
	}
	return found
}

func failed(err error) any {
	return map[string]any{"findings": []string{err.Error()}}
}

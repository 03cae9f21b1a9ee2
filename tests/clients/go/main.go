// Command clients runs the AWS SDK for Go against a gateway and prints what it saw as one JSON object, for the
// suite to judge. Environment, as the SDK itself reads it: AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_REGION,
// AWS_BEARER_TOKEN_BEDROCK; MODEL, PROMPT.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

func turn(text string) []types.Message {
	block := &types.ContentBlockMemberText{Value: text}
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{block}}}
}

func converse(client *bedrockruntime.Client, text string) (string, error) {
	model := aws.String(os.Getenv("MODEL"))
	reply, err := client.Converse(context.TODO(), &bedrockruntime.ConverseInput{ModelId: model, Messages: turn(text)})
	if err != nil {
		return "", err
	}
	message := reply.Output.(*types.ConverseOutputMemberMessage).Value
	return message.Content[0].(*types.ContentBlockMemberText).Value, nil
}

func stream(client *bedrockruntime.Client, text string) (string, error) {
	model := aws.String(os.Getenv("MODEL"))
	input := &bedrockruntime.ConverseStreamInput{ModelId: model, Messages: turn(text)}
	reply, err := client.ConverseStream(context.TODO(), input)
	if err != nil {
		return "", err
	}
	events := reply.GetStream()
	defer events.Close()
	seen := ""
	for event := range events.Events() {
		if delta, ok := event.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
			if text, ok := delta.Value.Delta.(*types.ContentBlockDeltaMemberText); ok {
				seen += text.Value
			}
		}
	}
	return seen, events.Err()
}

func main() {
	settings, err := config.LoadDefaultConfig(context.TODO(), config.WithRetryMaxAttempts(1))
	if err != nil {
		log.Fatal(err)
	}
	client := bedrockruntime.NewFromConfig(settings)
	prompt := os.Getenv("PROMPT")
	plain, err := converse(client, prompt)
	if err != nil {
		log.Fatal(err)
	}
	streamed, err := stream(client, prompt)
	if err != nil {
		log.Fatal(err)
	}
	_, err = converse(client, "@error ThrottlingException slow down")
	var throttled *types.ThrottlingException
	isThrottled := errors.As(err, &throttled)
	_, err = stream(client, "words and words\n@midstream-exception ThrottlingException 2 slow down")
	var inStream *types.ThrottlingException
	seen := map[string]any{
		"plain":     plain,
		"streamed":  streamed,
		"throttled": isThrottled,
		"middle":    errors.As(err, &inStream),
	}
	if err := json.NewEncoder(os.Stdout).Encode(seen); err != nil {
		log.Fatal(err)
	}
}

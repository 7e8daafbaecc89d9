"""Reading other people's weights, publishing and deploying ours."""
